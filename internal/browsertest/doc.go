// Package browsertest opens pages in a real headless Chromium for system tests,
// and fails the test that opened one when the browser complains: of an error in
// the log or the console, an exception, or a request that leaves the page's host. It
// presses and drags as a person does, and has axe-core judge what is shown.
// Its code carries the build tag system.
package browsertest
