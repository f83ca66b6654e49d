"""Downloads: resumed, checked and unpacked."""
