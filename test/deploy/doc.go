// Package deploy is what an operator gets, checked without an engine, a cluster or systemd: image, compose file, unit, socket, man page.
//
// Where the real reader of a file can be had it is asked (systemd-analyze, mandoc); where the file only describes what an engine
// would do, the test does it: the image's root directory is made and entered, the socket is passed, the watchdog is listened to.
// What needs many modules is in the module platform beside it.
package deploy
