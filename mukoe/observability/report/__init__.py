"""Reports on runs: an HTML page from workdirs, and the results page from published records."""
