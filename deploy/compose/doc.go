// Package compose holds the configuration of docker-compose.yml, and tests of it and of
// the Dockerfile that need no container engine: the composition is loaded as Docker
// Compose loads it, the lines of the Dockerfile are run in directories, and what comes of
// them is run as the composition says, each service in a root file system of its own.
package compose
