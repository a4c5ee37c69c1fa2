//go:build system && screenshots

package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/forescale/forescale/internal/browsertest"
)

// largest is how many bytes a picture of the documentation may have.
const largest = 150_000

// TestScreenshots is `make screenshots`: it runs the demo and takes the pictures of
// docs/screenshots, which FORESCALE_SCREENSHOTS names.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("FORESCALE_SCREENSHOTS")
	if folder == "" {
		t.Fatal("set FORESCALE_SCREENSHOTS to the folder of the pictures; `make screenshots` does")
	}
	bin, dir := programs(t), t.TempDir()
	demo := exec.Command(filepath.Join(bin, "forescale"), "demo", "-headless", "-pace", "6", "-dir", dir)
	page := daemon(t, demo, `page: (http://[0-9.:]+/)`)
	tab := browsertest.Open(t, page)
	for _, picture := range []struct {
		name, hash, until, point, scheme string
		width, height                    int64
	}{
		{"fleet", "#/", `document.querySelectorAll(".rows .row").length === 2 && document.querySelectorAll(".spark path.lead").length`, "", "light", 1240, 420},
		{"group", "#/group/web?range=6h", `performance.now() > 14000 && document.querySelectorAll(".decisions details").length > 4`, "[data-pane=load] .u-over", "light", 1240, 1000},
		{"group-dark", "#/group/web?range=6h", `performance.now() > 14000 && document.querySelectorAll(".decisions details").length > 4`, "", "dark", 1240, 1000},
		{"group-narrow", "#/group/web?range=6h", `document.querySelectorAll(".pane canvas").length > 1`, "", "light", 400, 900},
		{"models", "#/models", `document.querySelector("meter.own")`, "", "light", 1240, 860},
	} {
		tab.Resize(picture.width, picture.scheme)
		tab.Open(page + "?" + picture.name + picture.hash)
		tab.Until(picture.until)
		if picture.point != "" {
			tab.Point(picture.point, 0.6)
			tab.Until(`!document.querySelector(".tip").hidden`)
		}
		file := filepath.Join(t.TempDir(), "whole.png")
		tab.Screenshot(file)
		small := fewColours(t, file, int(picture.height))
		if len(small) > largest {
			t.Errorf("%s has %d bytes", picture.name, len(small))
		}
		if err := os.WriteFile(filepath.Join(folder, picture.name+".png"), small, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tab.Check()
}

// fewColours returns the upper part of a picture with the 256 colours that it has
// most of, which is a quarter of the bytes and looks the same on a page of text.
func fewColours(t *testing.T, file string, height int) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	part := image.Rect(0, 0, whole.Bounds().Dx(), min(height, whole.Bounds().Dy()))
	count := map[color.RGBA]int{}
	for y := range part.Dy() {
		for x := range part.Dx() {
			r, g, b, _ := whole.At(x, y).RGBA()
			count[color.RGBA{uint8(r>>8) &^ 3, uint8(g>>8) &^ 3, uint8(b>>8) &^ 3, 255}]++ // what no eye tells apart is one
		}
	}
	colours := make([]color.RGBA, 0, len(count))
	for c := range count {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	palette := color.Palette{}
	for _, c := range colours[:min(256, len(colours))] {
		full := func(v uint8) uint8 { return uint8(int(v) * 255 / 252) } // white stays white
		palette = append(palette, color.RGBA{full(c.R), full(c.G), full(c.B), 255})
	}
	small := image.NewPaletted(part, palette)
	draw.Draw(small, part, whole, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
