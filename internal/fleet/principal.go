package fleet

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Role is a role that may be assumed. Who has assumed it sees the groups of its
// account, and no others.
type Role struct {
	ARN string // arn:aws:iam::ACCOUNT:role/NAME
	// ExternalID, when set, must be given with the request.
	ExternalID string
}

// account returns the account that the role belongs to.
func (r Role) account() string {
	if parts := strings.Split(r.ARN, ":"); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// Call is what the cloud knows of a call to one of its services: enough to count
// them by.
type Call struct {
	Operation string
	Account   string // whose groups the caller sees
	Region    string // that the request was signed for
	Role      string // ARN of the role that the caller has assumed; "": none
	Group     string // that the call names; "": none
}

// Calls returns how often each call was made, refused ones included.
func (c *Cloud) Calls() map[Call]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// caller is who makes a call, by the credentials that it is signed with.
type caller struct{ account, region, role string }

// request is an AWS Query call: its form, and who makes it.
type request struct {
	url.Values
	from caller
}

// session is the credentials that an AssumeRole has given out.
type session struct {
	role    Role
	token   string
	expires time.Time // wall clock
}

// defaultSessionTime is how long credentials are valid unless the request or the
// configuration says otherwise.
const defaultSessionTime = time.Hour

// caller returns who has signed a request. Keys that AssumeRole gave out must come
// with their token and not have expired; every other key is the cloud's own
// account. Signatures are not verified: the cloud keeps no secrets.
func (c *Cloud) caller(r *http.Request) (caller, *apiError) {
	key, region := credential(r.Header.Get("Authorization"))
	from := caller{account: simulatedAccount, region: region}
	if !strings.HasPrefix(key, temporaryKey) {
		return from, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[key]
	switch {
	case !ok || r.Header.Get("X-Amz-Security-Token") != s.token:
		return from, &apiError{Status: 403, Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}
	case !c.config.WallClock().Before(s.expires):
		return from, &apiError{Status: 403, Code: "ExpiredToken", Message: "The security token included in the request is expired."}
	}
	return caller{account: s.role.account(), region: region, role: s.role.ARN}, nil
}

// credential reads the access key and the region out of a Signature Version 4
// header: AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
func credential(header string) (key, region string) {
	_, rest, _ := strings.Cut(header, "Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return "", ""
	}
	return parts[0], parts[2]
}

// sees reports whether a group is one of the caller's account and region.
func (who caller) sees(g *group) bool {
	return g.Account == who.account && (g.Region == "" || g.Region == who.region)
}

// temporaryKey begins the access keys of assumed roles.
const temporaryKey = "ASIA"

// assumeRole answers AssumeRole of the Security Token Service.
func (c *Cloud) assumeRole(form request) (any, *apiError) {
	arn, name := form.Get("RoleArn"), form.Get("RoleSessionName")
	if arn == "" || name == "" {
		return nil, validation("1 validation error detected: RoleArn and RoleSessionName must not be null")
	}
	for _, r := range c.config.Roles {
		if r.ARN != arn || r.ExternalID != "" && r.ExternalID != form.Get("ExternalId") {
			continue
		}
		life := c.config.SessionTime
		if seconds, ok, err := integer(form, "DurationSeconds"); err != nil {
			return nil, err
		} else if ok && life == 0 {
			life = time.Duration(seconds) * time.Second
		}
		if life == 0 {
			life = defaultSessionTime
		}
		key := fmt.Sprintf("%s%016d", temporaryKey, len(c.sessions)+1)
		s := session{role: r, token: secret(), expires: c.config.WallClock().Add(life)}
		c.sessions[key] = s
		id := fmt.Sprintf("AROA%016X", hash(arn))
		return &xmlAssumeRoleResult{
			Credentials: xmlCredentials{AccessKeyID: key, SecretAccessKey: secret(), SessionToken: s.token, Expiration: xmlTime(s.expires)},
			User: xmlAssumedRole{ID: id + ":" + name,
				ARN: strings.Replace(strings.Replace(arn, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + name},
		}, nil
	}
	return nil, &apiError{Status: 403, Code: "AccessDenied", Message: "User is not authorized to perform: sts:AssumeRole on resource: " + arn}
}

func secret() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

type xmlAssumeRoleResult struct {
	Credentials xmlCredentials `xml:"Credentials"`
	User        xmlAssumedRole `xml:"AssumedRoleUser"`
}

type xmlCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string `xml:"SecretAccessKey"`
	SessionToken    string `xml:"SessionToken"`
	Expiration      string `xml:"Expiration"`
}

type xmlAssumedRole struct {
	ID  string `xml:"AssumedRoleId"`
	ARN string `xml:"Arn"`
}
