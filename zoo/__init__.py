"""A zoo of interchangeable GAN parts."""
