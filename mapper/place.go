package mapper

import (
	"math"

	"github.com/wherry/wherry/config"
)

// earthRadius is the mean radius in kilometres.
const earthRadius = 6371.0088

// vector is a point on the unit sphere. Comparing distances by the cosine of the angle costs three multiplications.
type vector struct{ x, y, z float64 }

func vectorOf(l config.Location) vector {
	sinLat, cosLat := math.Sincos(l.Latitude * math.Pi / 180)
	sinLon, cosLon := math.Sincos(l.Longitude * math.Pi / 180)
	return vector{cosLat * cosLon, cosLat * sinLon, sinLat}
}

func (a vector) dot(b vector) float64 { return a.x*b.x + a.y*b.y + a.z*b.z }

// kilometres returns the great-circle distance. The arc tangent keeps its precision for near and for opposite points, where
// the arc cosine loses it.
func (a vector) kilometres(b vector) float64 {
	cross := vector{a.y*b.z - a.z*b.y, a.z*b.x - a.x*b.z, a.x*b.y - a.y*b.x}
	return earthRadius * math.Atan2(math.Sqrt(cross.dot(cross)), a.dot(b))
}
