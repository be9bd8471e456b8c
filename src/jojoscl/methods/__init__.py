"""One file or folder for each choice of `method=`."""
