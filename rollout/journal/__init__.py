"""Facts kept: several stores, one meaning."""
