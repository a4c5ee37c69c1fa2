package models
import "errors"
var ErrNoModel = errors.New("no model")
