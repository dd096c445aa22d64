// Package config carries the example projects of this folder, so that the lab and the
// tests run on exactly what a newcomer reads. Its secret is where they lie.
package config

import "embed"

// Examples holds example/ (the source page's own project) and three-node/ (the same,
// grown to three nodes).
//
//go:embed example three-node
var Examples embed.FS
