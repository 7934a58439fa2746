package value

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// Geography is a shape: a point (one ring of one coordinate), a line (one ring) or a polygon.
type Geography struct {
	Shape string // POINT, LINESTRING or POLYGON
	Rings [][][2]float64
}

// ParseWKT reads well-known text.
func ParseWKT(s string) (Geography, error) {
	open := strings.IndexByte(s, '(')
	if open < 0 || !strings.HasSuffix(strings.TrimSpace(s), ")") {
		return Geography{}, fmt.Errorf("no well-known text: %q", s)
	}
	g := Geography{Shape: strings.ToUpper(strings.TrimSpace(s[:open]))}
	body := strings.TrimSpace(s)[open+1:]
	body = body[:len(body)-1]
	rings := []string{body}
	switch g.Shape {
	case "POINT", "LINESTRING":
	case "POLYGON":
		body = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(body), "("), ")")
		rings = strings.Split(strings.NewReplacer("), (", "|", "),(", "|").Replace(body), "|")
	default:
		return Geography{}, fmt.Errorf("no shape: %q", g.Shape)
	}
	for _, r := range rings {
		ring, err := parseRing(r)
		if err != nil {
			return Geography{}, err
		}
		g.Rings = append(g.Rings, ring)
	}
	if g.Shape == "POINT" && len(g.Rings[0]) != 1 {
		return Geography{}, fmt.Errorf("no point: %q", s)
	}
	return g, nil
}

func parseRing(s string) ([][2]float64, error) {
	var ring [][2]float64
	for pair := range strings.SplitSeq(s, ",") {
		f := strings.Fields(pair)
		if len(f) != 2 {
			return nil, fmt.Errorf("no coordinate: %q", pair)
		}
		x, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return nil, err
		}
		y, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return nil, err
		}
		ring = append(ring, [2]float64{x, y})
	}
	return ring, nil
}

// WKT is the shape as well-known text.
func (g Geography) WKT() string {
	rings := make([]string, len(g.Rings))
	for i, r := range g.Rings {
		coords := make([]string, len(r))
		for j, c := range r {
			coords[j] = strconv.FormatFloat(c[0], 'f', -1, 64) + " " + strconv.FormatFloat(c[1], 'f', -1, 64)
		}
		rings[i] = strings.Join(coords, ", ")
	}
	if g.Shape == "POLYGON" {
		return "POLYGON((" + strings.Join(rings, "), (") + "))"
	}
	return g.Shape + "(" + strings.Join(rings, "") + ")"
}

func (g Geography) wire() *nebula.Geography {
	rings := make([][]*nebula.Coordinate, len(g.Rings))
	for i, r := range g.Rings {
		for _, c := range r {
			rings[i] = append(rings[i], &nebula.Coordinate{X: c[0], Y: c[1]})
		}
	}
	switch g.Shape {
	case "POINT":
		return &nebula.Geography{PtVal: &nebula.Point{Coord: rings[0][0]}}
	case "LINESTRING":
		return &nebula.Geography{LsVal: &nebula.LineString{CoordList: rings[0]}}
	}
	return &nebula.Geography{PgVal: &nebula.Polygon{CoordListList: rings}}
}

func geographyOf(w *nebula.Geography) Geography {
	ring := func(cs []*nebula.Coordinate) [][2]float64 {
		out := make([][2]float64, len(cs))
		for i, c := range cs {
			out[i] = [2]float64{c.X, c.Y}
		}
		return out
	}
	switch {
	case w.PtVal != nil:
		return Geography{Shape: "POINT", Rings: [][][2]float64{ring([]*nebula.Coordinate{w.PtVal.Coord})}}
	case w.LsVal != nil:
		return Geography{Shape: "LINESTRING", Rings: [][][2]float64{ring(w.LsVal.CoordList)}}
	case w.PgVal != nil:
		g := Geography{Shape: "POLYGON"}
		for _, r := range w.PgVal.CoordListList {
			g.Rings = append(g.Rings, ring(r))
		}
		return g
	}
	return Geography{}
}
