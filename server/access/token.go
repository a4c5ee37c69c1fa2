package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// A token is tokenPrefix and 256 random bits. The prefix lets scanners for leaked
// secrets find it. Because the bits are random, and not chosen by a person, a plain
// SHA-256 is as good as a slow, salted hash: there is nothing to guess, and a slow
// one would let anybody keep the server busy by sending wrong tokens.
const (
	tokenPrefix = "fsk_"
	tokenBytes  = 32

	hashPrefix = "sha256:"
	// maxToken bounds a token that a client sends, in bytes.
	maxToken = 512
)

// NewToken returns a random token and the hash for the configuration.
func NewToken() (token, hash string) {
	var secret [tokenBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, HashToken(token)
}

// HashToken returns the hash of a token as the configuration wants it:
// "sha256:" and 64 hexadecimal digits.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// parseHash reads a hash of the configuration. The error never repeats the text:
// it may be a token that was pasted there by mistake.
func parseHash(text string) (sum [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	raw, decodeErr := hex.DecodeString(digits)
	switch {
	case strings.HasPrefix(text, tokenPrefix):
		return sum, errors.New("holds a token, which is a secret: put its hash here (forescale token prints both), and make a new one")
	case !ok || decodeErr != nil || len(raw) != sha256.Size:
		return sum, errors.New("is not sha256: followed by 64 hexadecimal digits; forescale token prints one")
	}
	return [sha256.Size]byte(raw), nil
}

// tokenOf returns the token in the values of a request's header Authorization: that
// of Bearer or, because browsers know no other way to ask for one, the password of
// Basic, with any user. No value is no token; whatever is neither is an error.
func tokenOf(authorization []string) (token string, err error) {
	if len(authorization) == 0 {
		return "", nil
	}
	scheme, rest, _ := strings.Cut(authorization[0], " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case len(authorization) > 1:
		return "", errors.New("there is more than one header Authorization")
	case strings.EqualFold(scheme, "Bearer"):
		token = rest
	case strings.EqualFold(scheme, "Basic") && len(rest) <= 2*maxToken:
		if raw, err := base64.StdEncoding.DecodeString(rest); err == nil {
			_, token, _ = strings.Cut(string(raw), ":")
		}
	}
	if token == "" || len(token) > maxToken {
		return "", errors.New("the header Authorization holds no token; send Authorization: Bearer TOKEN")
	}
	return token, nil
}
