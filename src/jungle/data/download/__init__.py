"""Files from the web, resumed, checked and unpacked."""
