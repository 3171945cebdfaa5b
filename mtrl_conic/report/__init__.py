"""From run directories to one page of evidence."""
