"""AWS: CloudFormation templates of a stage and of the account, and the release commands."""
