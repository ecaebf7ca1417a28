// Program gate checks JSON Web Tokens (RFC 7519) signed by HMAC-SHA256: GET with Authorization: Bearer TOKEN, get the claims, or 401 with what is wrong.
//
//	KEY=secret wherry program run --env KEY=secret ./gate < request.http
//
// The key comes by the environment. It is an ordinary server that listens on port 8080, and runs without Wherry as well.
package main
