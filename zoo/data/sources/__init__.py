"""Sources of pictures: folders, zip files, arrays, Hugging Face data sets, WebDataset shards."""
