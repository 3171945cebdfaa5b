"""Reading data: rows in memory, images from files, tables of any format."""
