"""What several test rooms build on."""
