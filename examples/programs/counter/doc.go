// Program counter counts visits in the key-value store, in which all edges of the network share what each has counted: POST /NAME adds one, GET /NAME says how many.
//
//	wherry dev --program ./counter
//	curl -X POST http://127.0.0.1:8080/front-page
//
// It is written with sdk/go.
package main
