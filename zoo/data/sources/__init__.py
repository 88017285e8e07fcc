"""Where pictures lie: folders, zip files, arrays, Hugging Face datasets, WebDataset shards."""
