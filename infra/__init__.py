"""AWS: the template of a stage, that of the account, and the commands that release to them."""
