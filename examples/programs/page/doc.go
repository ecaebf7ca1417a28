// Program page renders a page where the user is: GET /?name=Ada with Accept-Language, get HTML in the user's language.
//
//	wherry dev --program ./page
//
// Its answers may be cached for a minute. It is an ordinary server that listens on port 8080, and runs without Wherry as well.
package main
