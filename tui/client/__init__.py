"""The console's side of the bus: keeps a picture of the cluster up to date; knows nothing of Textual."""
