"""What JojoSCL is compared with: five published methods and three controls, one file each."""
