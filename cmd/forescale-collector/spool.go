package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/spool"
)

// spools is the two logs on the local disk; both are nil where there is none.
type spools struct{ ticks, readings *spool.Spool }

func (s spools) close() {
	for _, log := range []*spool.Spool{s.ticks, s.readings} {
		if log != nil {
			_ = log.Close() // every record that counts is synced
		}
	}
}

// spoolDir returns the directory of the spools, "" when there is to be none, and
// whether the configuration names it. Each lake and writer has its own, so that
// what waited for one lake is never delivered to another.
func (p *program) spoolDir(getenv func(string) string) (dir string, named bool) {
	root := p.section.Spool.Dir
	switch {
	case root == collector.SpoolOff:
		return "", true
	case root != "":
		named = true
	case getenv("AWS_LAMBDA_FUNCTION_NAME") != "": // its disk does not last
		return "", false
	default:
		root = stateDir(getenv)
	}
	if root == "" {
		return "", false
	}
	sum := sha256.Sum256([]byte(p.common.Data))
	return filepath.Join(root, "spool", blob.Escape(p.section.Writer)+"-"+hex.EncodeToString(sum[:6])), named
}

// stateDir returns where a service or a user keeps state, "" when nothing tells.
func stateDir(getenv func(string) string) string {
	if first, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(first) { // systemd's
		return first
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "forescale")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "forescale")
	}
	return ""
}

// checkSpool reports what is wrong with the spool without making anything.
func (p *program) checkSpool() error {
	dir, named := p.spoolDir(os.Getenv)
	switch {
	case dir == "" && p.section.Streams():
		return errors.New("collector.spool.dir: sensors need a directory that outlives the process, because a message is acknowledged only when it is on disk")
	case dir == "" || !named && !p.section.Streams():
		return nil
	}
	if err := writable(dir); err != nil {
		return fmt.Errorf("collector.spool.dir: %w", err)
	}
	return nil
}

// writable returns why the directory can neither be written to nor made.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir:
			dir = filepath.Dir(dir)
			continue
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a directory", dir)
		}
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("%s cannot be written to: %w", dir, err)
		}
		return nil
	}
}

// openSpools opens what the command line's mode needs. Without sensors a spool is
// a help and no condition: where none can be had, ticks are fetched again.
func (p *program) openSpools() (s spools, err error) {
	dir, named := p.spoolDir(os.Getenv)
	if dir == "" || p.importFile != "" || p.backfill != "" || p.compact { // these may work beside one that runs
		return spools{}, nil
	}
	defer func() {
		if err != nil {
			s.close()
			s = spools{}
		}
	}()
	limit := p.section.Spool.Half()
	if s.ticks, err = spool.Open(spool.Config{Dir: filepath.Join(dir, "ticks"), MaxBytes: limit}); err == nil && len(p.streams) > 0 {
		s.readings, err = spool.Open(spool.Config{Dir: filepath.Join(dir, "readings"), MaxBytes: limit})
	}
	switch {
	case err == nil:
		p.log.Debug("spool", "dir", dir)
		return s, nil
	case errors.Is(err, spool.ErrLocked) && p.once:
		p.log.Info("another collector of this lake and writer runs here; this tick uses no spool", "dir", dir)
		s.close()
		return spools{}, nil
	case errors.Is(err, spool.ErrLocked):
		return s, fmt.Errorf("another collector of this lake and writer runs here; give it another collector.writer or collector.spool.dir: %w", err)
	case !named && len(p.streams) == 0:
		p.log.Warn("no spool; what the lake does not take is fetched again (set collector.spool.dir, or turn it off)", "dir", dir, "err", err)
		s.close()
		return spools{}, nil
	}
	return s, fmt.Errorf("collector.spool.dir: %w", err)
}
