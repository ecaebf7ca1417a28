// Program cart prices a shopping cart: POST a JSON list of items, get the total with tax.
//
//	wherry program run ./cart < request.http
//
// It is an ordinary http.Handler; what is particular is that requests come on standard input and responses go to standard output,
// one after another, until the input ends. The same binary runs without Wherry: ./cart < request.http.
package main
