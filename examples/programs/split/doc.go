// Program split is an A/B test: each visitor gets what the origin has below /a or below /b, a half of them each, and the same the next time by the cookie
// "variant". It asks for both through the edge, so their copies are cached for all visitors alike; its own answers aren't.
//
//	wherry edge --config examples/programs/split/wherry.yaml
//
// The rules beside it refuse /a and /b to clients: they are there for the program alone. It is an ordinary server that listens on port 8080.
package main
