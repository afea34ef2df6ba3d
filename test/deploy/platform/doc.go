// Package platform reads what stands in deploy/ with the code that will read it in production: Helm's engine, Kubernetes' own types,
// Prometheus' parsers, Compose's and BuildKit's.
//
// It is a module of its own, so that none of that becomes a dependency of the product. It has no code but its tests.
package platform
