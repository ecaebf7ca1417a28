// Program gate checks JSON Web Tokens (RFC 7519) signed by HMAC-SHA256: GET with Authorization: Bearer TOKEN, get the claims, or 401 with what is wrong.
//
//	wherry edge --config wherry.yaml, with programs: {gate: {image: ./gate, env: {KEY: secret}}}
//
// The key comes by the environment. It is an ordinary server that listens on port 8080, and runs without Wherry as well.
package main
