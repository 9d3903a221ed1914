"""The commands of `turumba`, each loaded only when it is called."""
