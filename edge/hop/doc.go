// Package hop is what a node puts on a request and takes off it because the request passes through a node: ids, and fields that lie about who has passed
// it on. It decides, and changes nothing but the field Upgrade.
package hop
