package models

// Calibrate multiplies the distance of every quantile of one step from the point
// forecast by a factor of Manifest.Calibration. It is the one rule by which a
// trainer measures such a model and a server answers for it.
func Calibrate(quantiles []float64, point, factor float64) {
	for j, q := range quantiles {
		quantiles[j] = point + factor*(q-point)
	}
}
