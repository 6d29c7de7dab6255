module captop

go 1.26
