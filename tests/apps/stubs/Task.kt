package com.google.android.gms.tasks

fun interface OnSuccessListener<R> {
    fun onSuccess(result: R)
}

fun interface OnFailureListener {
    fun onFailure(error: Exception)
}

abstract class Task<R> {
    abstract fun addOnSuccessListener(listener: OnSuccessListener<in R>): Task<R>

    abstract fun addOnFailureListener(listener: OnFailureListener): Task<R>
}
