module github.com/wherry/wherry

go 1.26
