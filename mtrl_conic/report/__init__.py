"""Reports: tables and figures computed from run directories."""
