// Package models describes trained models and keeps them: what a model reads and
// answers ([Spec]), where it comes from and how good it is ([Manifest]), and the
// registry of immutable versions with one champion per name (Registry).
package models
