"""Other packages' names on ssmgen's kernels."""
