// Package docs is what the documentation says, held against the code and the built binary.
//
// The settings, variables, metrics, commands and tests that a page names must exist, the settings files that it shows must be valid, and
// its curl examples are run against a sidecar in front of the mock. Links and headings are checked by the architecture test, for all pages of the tree.
//
// What a page shows is told by its form: a block of yaml is a settings file; a block of sh behind the comment "run" is run as it stands,
// but for the two addresses, and every curl in it must get a 2xx, or the status that the comment names ("run: 403").
package docs
