"""The zoo's callbacks for Lightning: they observe a training, log it and write its files."""
