// Package systemd holds units for machines without containers, and the tests that
// systemd finds no fault with them and that the server can work as they confine it.
// There is no code in it.
package systemd
