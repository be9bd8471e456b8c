"""JojoSCL as the paper describes it and as its released code runs."""
