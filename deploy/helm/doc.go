// Package helm holds the Helm chart of Forescale, and the tests that hold it to the
// programs and to a real Kubernetes API server. There is no code in it.
package helm
