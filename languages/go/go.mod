module nym

go 1.19
