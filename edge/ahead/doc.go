// Package ahead finds the objects that a page of HTML embeds, while the page goes to the client, and has them fetched before the client asks.
//
//	page, a copy of what is written ──▶ Scan ──▶ objects ──▶ fetchers ──▶ the edge's own steps, into its cache
//	clients' requests ──▶ Used: which of them were of use
//
// It promises that the page isn't held back: Scan.Write copies and returns, and what is beyond ScanBytesMax isn't looked at. All is bounded: pages at a
// time, objects and bytes of a page, fetches at a time, and what is remembered of them. What turned out not to be storable isn't fetched ahead again for
// a while.
//
// It doesn't know what may be fetched, nor how: Page.Wanted and Options.Fetch do. It is no browser: what scripts and style sheets ask for it doesn't see.
//
// Run waits for the goroutines of all pages, which Open starts as long as Run runs. What is known is lost with the process.
package ahead
