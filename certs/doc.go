// Package certs keeps the certificates with which TLS listeners answer, and the local certificate authority.
//
// It stands at the door: edge's TLS listener asks Keeper.GetCertificate for each handshake that isn't resumed. A site's own
// certificate comes from the files that its configuration names; for every other host that a site claims, and for clients that
// name no host, the Keeper has the local authority (CA) issue one.
//
// It promises: a host that no site claims gets the alert unrecognized_name and nobody else's certificate; a configuration
// with a certificate file that can't be used is refused whole, at the start as on reload, and what held before holds on; a leaf
// is replaced long before it expires; clients that make up names can neither fill the memory, nor keep a processor busy, nor
// displace the certificates of hosts that the configuration names; private keys are written for their owner's eyes only, and
// never half.
//
// It doesn't obtain certificates from public authorities and doesn't watch files: Keeper.Prepare reads them.
//
// The authority's key and certificate are on disk; issued leaves are in memory only, and issued anew after a restart. It starts
// no goroutines.
package certs
