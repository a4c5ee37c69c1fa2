package server

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/server/access"
	"github.com/forescale/forescale/server/session"
)

// knownKey is where the context of a request keeps who makes it.
const knownKey = "known"

// by returns who makes a request, for a record of it.
func by(c echo.Context) string {
	known, _ := c.Get(knownKey).(access.Known)
	if known.Name == "" {
		return "anonymous"
	}
	return known.Name
}

// sessionOf returns the session that a request's cookie names.
func (g *gatekeeper) sessionOf(r *http.Request) (session.Session, bool) {
	cookie, err := r.Cookie(api.SessionCookie)
	if err != nil {
		return session.Session{}, false
	}
	return g.sessions.Get(cookie.Value)
}

// checkChange refuses a request that changes something, or may, and that a browser
// sent by itself for some other site: one that is known by a session's cookie must
// hold the session's token, and come from a page of this very origin. That a cookie
// is sent for pages of the same site alone (SameSite) does not suffice: another port
// of the host is the same site.
//
// Source: Fetch Standard, section 3.2 (header Origin is sent with every method but
// GET and HEAD); OWASP, Cross-Site Request Forgery Prevention.
func checkChange(r *http.Request, opened session.Session) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" || origin.Host != r.Host {
		return problem(http.StatusForbidden, "Origin", "a change by session must come from a page of this server")
	}
	if !opened.Proves(r.Header.Get(api.CSRFHeader)) {
		return problem(http.StatusForbidden, api.CSRFHeader, "the header is missing, or of another session; load the page again")
	}
	return nil
}

// showSession answers GET /api/v1/session: who the caller is.
func (s *Server) showSession(c echo.Context) error {
	known, _ := c.Get(knownKey).(access.Known)
	out := api.Session{Name: known.Name, Rights: known.Rights.Names(), Login: !s.keeper.guard.Open(), Changes: s.changes() != nil}
	if known.Session {
		if opened, ok := s.keeper.sessionOf(c.Request()); ok {
			out.CSRF, out.Until = opened.CSRF, opened.Until.UTC()
		}
	}
	return c.JSON(http.StatusOK, out)
}

// maxLogin bounds the body of a login, in bytes.
const maxLogin = 4 << 10

// login answers POST /api/v1/session: it exchanges a token for a session.
func (s *Server) login(c echo.Context) error {
	if err := crossOrigin.Check(c.Request()); err != nil {
		return problem(http.StatusForbidden, "", "%v", err)
	}
	if s.keeper.guard.Open() {
		return problem(http.StatusBadRequest, "", "the server knows no clients: everyone may do everything, without a login")
	}
	c.Request().Body = http.MaxBytesReader(c.Response().Writer, c.Request().Body, maxLogin)
	body, err := s.bodyOf(c, nil, echo.MIMEApplicationJSON)
	if err != nil {
		return err
	}
	var asked api.SessionRequest
	if json.Unmarshal(body, &asked) != nil || asked.Token == "" { // the error of which may hold the token
		return problem(http.StatusBadRequest, "token", `the body is not {"token": "…"}`)
	}
	known, err := s.keeper.guard.Login(caller(c.Request()), asked.Token)
	if err != nil {
		s.keeper.refuse(c.Request().RemoteAddr, err, "login")
		challenge(c.Response().Header(), c.Request(), err)
		return err
	}
	if old, err := c.Cookie(api.SessionCookie); err == nil { // of whom it was does not matter
		s.keeper.sessions.Close(old.Value)
	}
	id, _ := s.keeper.sessions.Open(known.Name)
	s.audit(c, "logged in", known.Name)
	c.SetCookie(s.cookie(c.Request(), id, int(session.Longest.Seconds())))
	return c.NoContent(http.StatusNoContent)
}

// logout answers DELETE /api/v1/session.
func (s *Server) logout(c echo.Context) error {
	if cookie, err := c.Cookie(api.SessionCookie); err == nil {
		s.keeper.sessions.Close(cookie.Value)
		s.audit(c, "logged out", by(c))
	}
	c.SetCookie(s.cookie(c.Request(), "", -1))
	return c.NoContent(http.StatusNoContent)
}

// cookie returns the cookie of a session. No script can read it, and no other site
// can have it sent.
func (s *Server) cookie(r *http.Request, id string, age int) *http.Cookie {
	return &http.Cookie{Name: api.SessionCookie, Value: id, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode}
}

// audit writes who did what into the log, whatever its level.
func (s *Server) audit(c echo.Context, what, client string, attributes ...any) {
	s.deps.Log.Info("audit", append([]any{"what", what, "client", client, "remote", c.Request().RemoteAddr}, attributes...)...)
}
