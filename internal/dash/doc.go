// Package dash is the dashboard: shared snapshots, event stream, settings and queue API, embedded page.
//
// It knows nobody. What it shows it asks of a [Source], a [Queue], [Settings] and a [History], and who may look and change it asks of two
// functions; package app adapts the rest of the sidecar to them. The types with JSON tags in view.go are the published form of the
// API, described for clients in openapi.yaml: a field there is a promise, whatever the parts behind it are called.
//
// # One snapshot for all
//
// A [Feed] builds and encodes at most one snapshot a second, and none while nobody looks. Viewers are not listed anywhere: each holds the
// [Frame] that it sent last, which is closed when a newer one is there, and then takes the newest. So a viewer that is slow skips
// frames and holds nobody up, and one that does not read at all is dropped at its write deadline.
package dash
