#!/bin/sh
#CORRAL --name sweep --cpu 0.5 --max-parallel 2
#CORRAL --matrix lr=0.1,0.01 --matrix model=small,large
echo "model $CORRAL_MATRIX_model at $CORRAL_MATRIX_lr, seed $1"
