"""The software-defined assets, by domain; ``results`` holds what their bodies share."""
